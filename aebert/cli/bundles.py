"""Commands that make, show, check and use bundles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from aebert.cli.app import Results, Study, app, echo, started
from aebert.errors import ConfigError

bundle_app = typer.Typer(help="Make, check and show bundles, which are what a run ships.", no_args_is_help=True)
app.add_typer(bundle_app, name="bundle")

Bundle = Annotated[Path, typer.Argument(help="A bundle: folder or zip file.")]
Threads = Annotated[int, typer.Option(help="Number of threads that ONNX Runtime computes with.")]


@bundle_app.command()
def make(
    study: Study,
    results: Results = Path("results"),
    model: Annotated[str | None, typer.Option(help="Bundle only this model: dense, trial-N, or a baseline.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Also write the bundle there, as a zip file if the name ends in .zip.")
    ] = None,
) -> None:
    """Bundle the dense model and the finalists of a study.

    Bundles are in the folder of the study; stages before that are missing are done first.
    """
    from aebert.studies.folder import find_study

    folder = find_study(study, results)
    if out is not None and model is None:
        raise ConfigError("--out takes one bundle: name it with --model (dense, trial-N, or a baseline)")
    with started(folder, None) as work:
        from aebert.deployment.bundle import pack
        from aebert.run.bundles import bundles

        known = [one.name for one in work.models]
        if model is not None and model not in known:
            raise ConfigError(f"--model must be one of {', '.join(known)}, got {model!r}")
        for path in bundles(work, None if model is None else [model]).values():
            echo(str(pack(path, out) if out else path))


@bundle_app.command()
def verify(bundle: Bundle, threads: Threads = 1) -> None:
    """Check a bundle on this machine.

    Checked are its format, digests, tokenizer, graph, labels, and the logits of its parity vectors.
    """
    from aebert.runtime.checks import verify as checks

    for check in checks(bundle, threads):
        echo(f"{check.name:10} ok   {check.detail}")


@bundle_app.command()
def show(bundle: Bundle) -> None:
    """Show the task, architecture, scores, profile and provenance of a bundle."""
    from aebert.runtime.container import MANIFEST, open_container
    from aebert.runtime.manifest import parse_manifest

    container = open_container(bundle)
    for key, value in _facts(parse_manifest(container.read(MANIFEST), bundle).values):
        echo(f"{key:14} {value}")


@app.command()
def predict(
    bundle: Bundle,
    input: Annotated[
        Path | None,
        typer.Option(help="A table (.csv, .tsv, .jsonl) or a file of lines; by default lines of standard input."),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of a table that holds the text, two with a comma for pairs; by default as in training.",
        ),
    ] = None,
    format: Annotated[str, typer.Option(help="json (an object per row), tsv, or npy (embeddings).")] = "json",
    batch: Annotated[int, typer.Option(help="Most rows at a time; 1 answers each row at once.")] = 32,
    threads: Threads = 1,
    max_length: Annotated[int | None, typer.Option(help="Most tokens of a row; by default as in training.")] = None,
    words: Annotated[
        str | None,
        typer.Option(help="How NER text is cut into words: blanks, edges or marks; by default as in training."),
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option(
            metavar="CHARACTER", help="Character between the cells of a CSV file; by default found by its header line."
        ),
    ] = None,
    encoding: Annotated[str, typer.Option(metavar="NAME", help="Encoding of the input, by its Python name.")] = "utf-8",
) -> None:
    """Predict texts with a bundle.

    A table has a row per text, or pair of texts. Of other files and of standard input every line is a text, or a pair
    of texts with a tab between them.
    """
    from aebert.runtime.stream import PredictOptions, predict_rows

    predict_rows(
        PredictOptions(
            bundle,
            input=input,
            text=text or (),
            format=format,
            batch=batch,
            threads=threads,
            max_length=max_length,
            words=words,
            separator=separator,
            encoding=encoding,
        )
    )


def _facts(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    task, text, graph, parity = (values[key] for key in ("task", "text", "graph", "parity"))
    yield "name", f"{values['name']} (bundle format {values['format']})"
    yield "task", f"{task['name']}, {task['kind']}: {', '.join(task['labels']) or _numbers(task)}"
    longer = ", longer ones in windows" if text.get("window") else ""
    yield "text", f"{' and '.join(task['columns'])}, at most {text['max_length']} tokens{longer}"
    from aebert.runtime.container import OLD_GRAPH

    size = values["parts"][graph.get("file", OLD_GRAPH)]["bytes"]
    yield "graph", f"{graph['quantization']}, opset {graph['opset']}, {size} bytes"
    yield "parity", f"{len(parity['cases'])} rows, tolerance {parity['tolerance']:.2g}"
    yield from _measured(values, task["headline"])
    for key, value in values.get("provenance", {}).items():
        shown = " ".join(f"{name}={one}" for name, one in value.items()) if isinstance(value, dict) else value
        yield key, str(shown)


def _numbers(task: Mapping[str, Any]) -> str:
    return f"{task['hidden']} numbers" if task["kind"] == "embedding" else "a number"


def _measured(values: Mapping[str, Any], headline: str) -> Iterator[tuple[str, str]]:
    if kept := values.get("architecture"):
        yield "model", f"{kept['model']} ({kept['family']})"
        for units in ("heads", "ffn"):
            counts = [f"{mine}/{full}" for mine, full in zip(kept[units], kept["dense"][units], strict=False)]
            yield units, " ".join(counts)
        dropped = len(kept["dense"]["heads"]) - len(kept["heads"])  # of a baseline, whose last layers are gone
        if dropped:
            yield "layers", f"{len(kept['heads'])}/{len(kept['dense']['heads'])}, the last {dropped} dropped"
    if scores := values.get("scores"):
        interval = "–".join(f"{100 * end:.1f}" for end in scores["interval"] or ()) or "none"
        shown = f"{headline} {100 * scores['metrics'][headline]:.1f} (95 %: {interval})"
        yield "scores", f"{shown} on {scores['rows']} {scores['rows_of']} rows"
    if profile := values.get("profile"):
        yield (
            "profile",
            (
                f"p50 {profile['p50_ms']:.3g} ms, p90 {profile['p90_ms']:.3g} ms, {profile['threads']} thread(s), "
                f"batch {profile['batch_size']}, on {values['machine']['cpu']}"
            ),
        )

"""A run, stage by stage. A stage is skipped when it is done for the same inputs; its result stays in the run's folder.

In order: `dense` (the dense model, fine-tuned where it must be), `candidates` (importance scores, the block library and
the pruner), `study` (the search), `finalists` (the best candidates, fine-tuned), `baselines` (what these are held
against, if asked for), `shipped` (all models that files are made of), `export` (ONNX files, quantized), `flatbuffers`
(LiteRT files, if asked for), `scores` (every file on the report rows), `profiles` (what every file costs to run),
`bundles` (what is shipped) and `report`. `pipeline` puts them together; `run` holds what all of them share.
"""

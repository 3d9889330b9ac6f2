"""Reading studies that are on disk: open, list, re-price. Nothing here imports torch or transformers."""

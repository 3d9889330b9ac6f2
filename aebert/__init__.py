"""Find, fine-tune, quantize and measure good sub-networks of BERT-family encoders."""

__version__ = "0.1.0"

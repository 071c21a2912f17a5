"""The report: every test of arXiv:2410.14670 that applies, on given activations and decoders.

A report is a dict that JSON can hold, so that what is computed, kept on disk, drawn and tested is
one thing.  What is found about each decoder is kept when it is finished.
"""

from .activations import Reconstruction, read_activations
from .markdown import save_tables, tables
from .pictures import save_figures
from .write import write_report

__all__ = [
    "Reconstruction",
    "read_activations",
    "save_figures",
    "save_tables",
    "tables",
    "write_report",
]

"""The native engine: pyradiomics' two-dimensional numbers from compiled loops."""

"""The stages of benchmarks.gpu, one a file; each runs in a process of its own."""

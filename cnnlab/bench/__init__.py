"""What the benchmarks share: problems (the grid, random geometries), contenders, times, tables."""

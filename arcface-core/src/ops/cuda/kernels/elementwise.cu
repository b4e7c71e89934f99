// Kernels that work on one value at a time: sums, dropout, changes of type and of layout.

// Class centers: unit rows, log-sum-exp and gradients of rows of cosines.

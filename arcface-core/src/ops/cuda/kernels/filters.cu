// Weights between the operators' layout (KH, KW, I, O) and cuDNN's (O, KH, KW, I).

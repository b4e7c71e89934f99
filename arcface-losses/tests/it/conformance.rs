//! Every general property over every registered loss.

arcface_losses::testing::conformance!();

// Steps of the optimisers over all parameters in one launch, and norms of gradients.

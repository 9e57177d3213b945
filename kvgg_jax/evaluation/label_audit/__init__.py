"""Which photos have a wrong label, by probabilities of models that were not trained on them."""

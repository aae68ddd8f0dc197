"""The network and its training: the only home of torch."""

"""The suite of convolutions: layers in chains, a whole network, and filters, beside 8 bits."""

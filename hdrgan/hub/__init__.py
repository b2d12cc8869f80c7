"""Publishing on the Hugging Face Hub: the card of a model, and the push."""

"""How good a network is: metrics, scores, scenes and reports."""

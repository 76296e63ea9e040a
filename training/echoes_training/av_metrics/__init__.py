"""Numbers that others can compare with: Frechet distance, KL, inception score, cosine scores."""

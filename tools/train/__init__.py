"""Training of the two models that come with the project, on the synthetic scene: see __main__."""

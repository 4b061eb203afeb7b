"""The five stages at which classification and localisation can part, one folder each."""

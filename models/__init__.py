"""Training, export, quantisation and the shipped artifacts; no service imports code from here."""

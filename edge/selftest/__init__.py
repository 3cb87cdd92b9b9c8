"""The test alarm, from a drawn flame to the sinks."""

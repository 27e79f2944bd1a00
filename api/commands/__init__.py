"""The commands of the command line, one file a subject. They import the engine only when they run: help is instant."""

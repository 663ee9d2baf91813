"""The release: everything that serving needs in one folder, named by its content and checked byte by byte."""

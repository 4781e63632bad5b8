//go:build !unix

package main

// keepFilesPrivate does nothing: the directory's own access list decides.
func keepFilesPrivate() {}

//go:build !linux

package tools

import "errors"

// exchange exchanges two names in one step, which Go knows of no way to do here.
func exchange(string, string) error { return errors.ErrUnsupported }

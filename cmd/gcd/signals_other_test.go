//go:build !unix

package main

import "os"

// namedSignals are those that scripts send.
var namedSignals = map[string]os.Signal{"INT": os.Interrupt, "KILL": os.Kill}

//go:build !linux

package loadgen

const haveLoops = false

func newLoop(ln lane, clients int, to *peer) (driver, error) {
	return newGoroutines(ln, clients, to)
}

package secure

import (
	"bytes"
	"testing"
)

// However records are cut into pieces, it is known where one is within.
func TestRecords(t *testing.T) {
	t.Parallel()
	var all []byte
	ends := map[int]bool{0: true}
	for _, length := range []int{0, 1, 255, 256, 300, 16 << 10} {
		all = append(all, 0x17, 3, 3, byte(length>>8), byte(length))
		all = append(all, bytes.Repeat([]byte{0xff}, length)...)
		ends[len(all)] = true
	}
	for _, size := range []int{1, 2, 3, 5, 7, 512, 4096, len(all)} {
		var r records
		for at := 0; at < len(all); {
			next := min(at+size, len(all))
			r.pass(all[at:next])
			if at = next; r.within() == ends[at] {
				t.Fatalf("in pieces of %d bytes: after %d of them within a record: %t", size, at, r.within())
			}
		}
	}
}

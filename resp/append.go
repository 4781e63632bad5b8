package resp

import "strconv"

// Version is the version of RESP that a connection has agreed on; it decides how some replies are
// written.
type Version int

// The versions.
const (
	V2 Version = 2
	V3 Version = 3
)

// AppendSimple appends a status such as OK. It must have no line end.
func AppendSimple(dst []byte, s string) []byte {
	dst = append(dst, '+')
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

// AppendError appends an error. Its first word is what programs go by. Line ends in it become
// blanks.
func AppendError(dst []byte, s string) []byte {
	dst = append(dst, '-')
	at := len(dst)
	dst = append(dst, s...)
	for i := at; i < len(dst); i++ {
		if dst[i] == '\r' || dst[i] == '\n' {
			dst[i] = ' '
		}
	}
	return append(dst, '\r', '\n')
}

// AppendInt appends an integer.
func AppendInt(dst []byte, n int64) []byte { return appendHead(dst, ':', n) }

// AppendBulk appends a string of any bytes.
func AppendBulk[T []byte | string](dst []byte, s T) []byte {
	dst = appendHead(dst, '$', int64(len(s)))
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

// AppendDecimal appends a string with the decimal digits of n.
func AppendDecimal(dst []byte, n uint64) []byte {
	digits := 1
	for rest := n; rest >= 10; rest /= 10 {
		digits++
	}
	dst = appendHead(dst, '$', int64(digits))
	dst = strconv.AppendUint(dst, n, 10)
	return append(dst, '\r', '\n')
}

// AppendArray appends the head of an array; n elements have to follow.
func AppendArray(dst []byte, n int) []byte { return appendHead(dst, '*', int64(n)) }

// AppendCommand appends a command, as a client sends it.
func AppendCommand(dst []byte, words ...string) []byte {
	dst = AppendArray(dst, len(words))
	for _, word := range words {
		dst = AppendBulk(dst, word)
	}
	return dst
}

// AppendMap appends the head of a map; n pairs of key and value have to follow. In version 2 it is
// an array of 2n elements.
func (v Version) AppendMap(dst []byte, n int) []byte {
	if v < V3 {
		return AppendArray(dst, 2*n)
	}
	return appendHead(dst, '%', int64(n))
}

// AppendSet appends the head of a set; n elements have to follow. In version 2 it is an array.
func (v Version) AppendSet(dst []byte, n int) []byte {
	if v < V3 {
		return AppendArray(dst, n)
	}
	return appendHead(dst, '~', int64(n))
}

// AppendNull appends the absence of a value; in version 2 that of a string.
func (v Version) AppendNull(dst []byte) []byte {
	if v < V3 {
		return append(dst, "$-1\r\n"...)
	}
	return append(dst, "_\r\n"...)
}

// AppendText appends a text to be shown to people as it is; in version 2 it is a string.
func (v Version) AppendText(dst []byte, s []byte) []byte {
	if v < V3 {
		return AppendBulk(dst, s)
	}
	dst = appendHead(dst, '=', int64(len(s)+4))
	dst = append(dst, "txt:"...)
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

func appendHead(dst []byte, kind byte, n int64) []byte {
	dst = append(dst, kind)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, '\r', '\n')
}

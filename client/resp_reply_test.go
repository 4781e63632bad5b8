package client

import (
	"errors"
	"testing"

	"gcd/codec"
)

// The errors of servers, each with the code that the same refusal has in the protocol.
func TestRefusal(t *testing.T) {
	t.Parallel()
	for text, code := range map[string]codec.Code{
		"ERR unknown command 'GCD.COUNT', with args beginning with: 'orders' ":    2,
		"ERR topic is too long: it has at most 65535 bytes":                       3,
		"ERR topic is not UTF-8":                                                  4,
		"ERR topic is too long for this server":                                   5,
		"OOM too many topics: the server holds as many as it may":                 6,
		"ERR increment or decrement would overflow":                               7,
		"BUSY too many requests in flight: try again later":                       8,
		"ERR max number of clients reached":                                       9,
		"MISCONF no room for the log: the disk is full":                           11,
		"LOADING the server is shutting down: try again when it is back":          12,
		"ERR Protocol error: the command was not complete in time":                13,
		"LOADING gcd is loading its counters, try again soon":                     14,
		"MISCONF stopped after a disk error: the server counts no more and exits": 16,
		"ERR value is not an integer from 1 to 18446744073709551615":              1,
		"EXECABORT Transaction discarded because what it changes may not fit into one record of " +
			"the log: count fewer": 3,
		"ERR transaction is too long: its commands have at most 1048576 bytes": 3,
		"EXECABORT Transaction discarded because of previous errors.":          1,
		"NOAUTH Authentication required.":                                      21,
		"":                                                                     1,
	} {
		var refusal *RefusedError
		if err := refusalOf(text); !errors.As(err, &refusal) || refusal.Code != code || refusal.Text != text {
			t.Errorf("%q: %v, want code %d", text, err, code)
		}
	}
}

func refusalOf(text string) error { return refusal([]byte(text)) }

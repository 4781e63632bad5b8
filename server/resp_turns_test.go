package server_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"gcd/server"
	"gcd/store"
)

// However short the turns are, pipelines of all kinds are answered whole and in their order, also
// beside somebody who asks for little.
func TestRESPShortTurns(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		st, err := store.Open("", store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		s := serve(t, st, o, (*server.Server).ShortTurns)
		var wg sync.WaitGroup
		wg.Go(func() {
			c := dialRESP(t, s, 2)
			for n := 1; n <= 300; n++ {
				say(t, c, "INCR little\r\n", fmt.Sprintf(":%d\r\n", n))
			}
		})
		for i := range 3 {
			wg.Go(func() {
				c := dialRESP(t, s, 2)
				topic := fmt.Sprint("t", i)
				var in, want strings.Builder
				for n := 1; n <= 200; n++ {
					fmt.Fprintf(&in,
						"PING %d\r\nGET %s\r\nNOSUCH\r\nMULTI\r\nINCR %s\r\nGET %s\r\nEXEC\r\nKEYS %s\r\nECHO %d\r\n",
						n, topic, topic, topic, topic, n)
					number, before := bulk(fmt.Sprint(n)), "$-1\r\n"
					if n > 1 {
						before = bulk(fmt.Sprint(n - 1))
					}
					fmt.Fprintf(&want, "%s%s-ERR unknown command 'NOSUCH', with args beginning with: \r\n"+
						"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:%d\r\n%s*1\r\n%s%s", number, before, n, number,
						bulk(topic), number)
				}
				say(t, c, in.String(), want.String())
			})
		}
		wg.Wait()
	})
}

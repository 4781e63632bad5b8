package server_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gcd/internal/access"
	"gcd/server"
)

// TestRulesAreReplacedUnderLoad: while the rules are replaced over and over, by some that have a
// name more or less, another one, or other rights, nobody ever counts beyond the rights of all of
// them, and every command has its answer.
func TestRulesAreReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		token, secret := access.NewToken()
		opsToken, opsSecret := access.NewToken()
		var all []*access.Rules
		for _, text := range []string{
			"web " + secret + " count:own/ read:own/\nops " + opsSecret + " admin\n",
			"renamed " + secret + " count:own/\nops " + opsSecret + " admin\nanonymous - count:own/\n",
			"web " + secret + "\nops " + opsSecret + " admin\nanonymous - read:own/\n",
		} {
			all = append(all, rules(t, text))
		}
		var now atomic.Pointer[access.Rules]
		now.Store(all[0])
		o.Rules, o.RefusalRate = now.Load, 1_000_000
		s, f := serveFake(t, o)

		over := make(chan struct{})
		var changes, clients sync.WaitGroup
		changes.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				default:
					now.Store(all[i%len(all)])
				}
			}
		})
		for range 4 {
			clients.Go(func() {
				c := dialRESP(t, s, 2)
				for range 20 {
					send(t, c, []byte("AUTH "+token+"\r\n"+strings.Repeat("INCR own/x\r\nINCR foreign\r\n"+
						"MGET own/x foreign\r\n"+
						"MULTI\r\nINCR own/x\r\nEXEC\r\nKEYS *\r\nGET foreign\r\n", 20)+"ECHO over\r\n"))
					got := readUntil(t, c, "$4\r\nover\r\n")
					if strings.Contains(got, "foreign") || !strings.HasPrefix(got, "+OK\r\n") {
						t.Errorf("answered %.200q", got)
					}
				}
			})
		}
		clients.Go(func() {
			c := dialRESP(t, s, 2)
			send(t, c, []byte("AUTH "+opsToken+"\r\n"))
			for range 50 {
				send(t, c, []byte("CLIENT LIST\r\nECHO over\r\n"))
				readUntil(t, c, "$4\r\nover\r\n")
			}
		})
		for _, network := range []string{"tcp", "udp"} {
			clients.Go(func() {
				for range 50 {
					ask(t, network, s.addr(network), count("foreign"))
				}
			})
		}
		clients.Wait()
		close(over)
		changes.Wait()
		state := f.state()
		if state["foreign"] != 0 || state["own/x"] == 0 {
			t.Errorf("the sums are %v", state)
		}
		if st := s.Stats(); st.InFlight != 0 || st.Panics != 0 {
			t.Errorf("%d in flight, %d panics", st.InFlight, st.Panics)
		}
	})
}

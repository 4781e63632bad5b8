package server_test

import (
	"net"
	"strconv"
	"testing"
	"time"

	"gcd/server"
)

// One server has both ways of dispatch at once: connections of a second listener have goroutines
// while those of the first are on loops. Limits, counters and topics are those of one server, and a
// shutdown ends both.
func TestBothWaysOfDispatchInOneServer(t *testing.T) {
	t.Parallel()
	const most = 8
	s, _ := serveMemory(t, server.Options{MaxConns: most})
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	addrs := [2]string{s.addr("tcp"), l.Addr().String()}
	count := func(i int) {
		t.Helper()
		say(t, dial(t, "tcp", addrs[i%2]), "INCR x\r\n", ":"+strconv.Itoa(i+1)+"\r\n")
	}
	count(0) // so that the server serves
	ran := s.Beside(l)
	for i := 1; i < most; i++ {
		count(i)
	}
	for _, addr := range addrs {
		c := dial(t, "tcp", addr)
		send(t, c, []byte("INCR x\r\n"))
		readUntil(t, c, "-ERR max number of clients reached\r\n")
	}
	if st := s.Stats(); st.Answered < most || st.Accepted != most+2 {
		t.Errorf("%d answers and %d connections, want at least %d and %d", st.Answered, st.Accepted, most, most+2)
	}
	s.stop(t)
	select {
	case <-ran:
	case <-time.After(patience):
		t.Fatal("the door beside the loops has not ended with the server")
	}
}

package server

import (
	"time"

	"gcd/codec"
)

const LingerBytes = lingerBytes

// The places where tests put faults and stretch time; to be called before Serve.

func (s *Server) SetParse(f func([]byte) (codec.Request, error)) { s.parse = f }

func (s *Server) SetBeforeAccept(f func() error) { s.beforeAccept = f }

func (s *Server) SetLinger(d time.Duration) { s.linger = d }

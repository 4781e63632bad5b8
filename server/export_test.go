package server

import "gcd/codec"

// The places where tests put faults. Both must be called before Serve.

func (s *Server) SetParse(f func([]byte) (codec.Request, error)) { s.parse = f }

func (s *Server) SetBeforeAccept(f func() error) { s.beforeAccept = f }

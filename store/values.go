package store

import "gcd/store/core"

// What groups are made of, under the names that package server has for it until it imports core.
type (
	Op    = core.Op
	Group = core.Group
	Kind  = core.Kind
	Value = core.Value
)

const (
	Count  = core.Count
	Reset  = core.Reset
	Read   = core.Read
	Delete = core.Delete
	Size   = core.Size
)

var (
	ErrUnknown       = core.ErrUnknown
	ErrOverflow      = core.ErrOverflow
	ErrTopicTooLong  = core.ErrTopicTooLong
	ErrTooManyTopics = core.ErrTooManyTopics
	ErrLogFull       = core.ErrLogFull
	ErrClosed        = core.ErrClosed
	ErrFailed        = core.ErrFailed
)

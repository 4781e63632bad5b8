package main

import (
	"errors"
	"strconv"
	"strings"

	"gcd/internal/cmdline"
	"gcd/store"
)

// retention is the value of a flag that takes a time, a size, or both, or 0.
type retention store.Retain

// String writes the value as Set takes it, the time in days if it is whole ones.
func (r *retention) String() string {
	var parts []string
	switch {
	case r.Age == 0:
	case r.Age%cmdline.Day == 0:
		parts = append(parts, strconv.FormatInt(int64(r.Age/cmdline.Day), 10)+"d")
	default:
		parts = append(parts, r.Age.String())
	}
	if r.Bytes != 0 {
		size := cmdline.ByteSize(r.Bytes)
		parts = append(parts, size.String())
	}
	if len(parts) == 0 {
		return "0"
	}
	return strings.Join(parts, ",")
}

var errRetention = errors.New("it takes a time such as 7d or 36h, a size such as 10GiB, both as 7d,10GiB, or 0")

func (r *retention) Set(value string) error {
	var parsed retention
	if value != "0" {
		for part := range strings.SplitSeq(value, ",") {
			if err := parsed.set(part); err != nil {
				return err
			}
		}
	}
	*r = parsed
	return nil
}

// set takes a time or a size, each at most once and above 0.
func (r *retention) set(part string) error {
	var size cmdline.ByteSize
	if age, ok := cmdline.ParseAge(part); ok && age > 0 && r.Age == 0 {
		r.Age = age
		return nil
	}
	unit := strings.TrimRight(part, "0123456789") == part // 7 alone might be meant as days
	if unit && size.Set(part) == nil && size > 0 && r.Bytes == 0 {
		r.Bytes = int64(size)
		return nil
	}
	return errRetention
}

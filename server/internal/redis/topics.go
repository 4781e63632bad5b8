package redis

import "gcd/store/core"

// The commands on topics. Those that only read are in the table, by the form of their answer.

func (x *exchange) incr() { x.one(formInteger, core.Count, 1, maxInteger) }

func (x *exchange) incrBy() {
	n, ok := parseInteger(x.parser.Arg(2))
	switch {
	case !ok:
		x.fail(errNotAnInteger)
	case n <= 0:
		x.fail("ERR increment must be above 0: the values of a topic are handed out one after the other and never " +
			"again, so a sum only grows")
	default:
		x.one(formInteger, core.Count, uint64(n), maxInteger)
	}
}

func (x *exchange) gcdCount() {
	n := uint64(1)
	switch x.parser.Len() {
	case 2:
	case 3:
		var ok bool
		if n, ok = parseUnsigned(x.parser.Arg(2)); !ok || n == 0 {
			x.fail("ERR value is not an integer from 1 to 18446744073709551615")
			return
		}
	default:
		x.fail(x.arityError("gcd.count"))
		return
	}
	x.one(formDecimal, core.Count, n, 0)
}

func (x *exchange) gcdReset() { x.one(formOK, core.Reset, 0, 0) }

func (x *exchange) del() { x.each(formLive, core.Delete) }

func (x *exchange) getDel() { x.one(formValue, core.Delete, 0, 0) }

// errOnlyZero says why a value cannot be set.
const errOnlyZero = "ERR only 0 can be set, which resets the topic: a sum is what was counted, and setting it would " +
	"hand values out twice or never"

func (x *exchange) set() {
	switch {
	case x.parser.Len() > 3:
		x.fail("ERR SET takes no options here: SET topic 0 resets the topic, GETSET topic 0 returns its old sum, " +
			"and topics do not expire")
	case string(x.parser.Arg(2)) != "0":
		x.fail(errOnlyZero)
	default:
		x.one(formOK, core.Delete, 0, 0)
	}
}

func (x *exchange) getSet() {
	if string(x.parser.Arg(2)) != "0" {
		x.fail(errOnlyZero)
		return
	}
	x.one(formValue, core.Delete, 0, 0)
}

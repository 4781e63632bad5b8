package redis

import (
	"gcd/resp"
	"gcd/server/internal/gate"
	"gcd/store/core"
)

// How the answers of a turn are made: a plan of steps while its commands are taken, and the replies
// when the operations have their outcomes.

// form is how the outcome of operations is told.
type form uint8

const (
	// A reply that is known already; it takes no operation. The number of a step of this form is
	// the reply's size in bytes.
	formReady form = iota
	formPing       // likewise, while counts are taken, and else what a count is told
	// A reply to each operation.
	formInteger // the sum, as an integer
	formDecimal // the sum, as decimal digits
	formValue   // the sum, as decimal digits, or nothing if it is 0
	formOK
	formType
	formExpiry
	formLength // how many digits the sum has
	formInfo   // sum and epoch
	formLater  // that of a command of the transaction; the number is where it begins
	// One reply to all operations of the step.
	formValues // an array of formValue
	formLive   // how many sums are not 0
)

// step is a part of the answer: n replies of a form of the first kinds, or one reply to n
// operations.
type step struct {
	form    form
	command uint8 // its number; of formReady and formLater it says nothing
	n       uint32
}

// answer makes the replies when the operations have their outcomes.
func (x *exchange) answer() {
	ops, ready, known, from := x.ops, x.ready, true, len(x.out)
	for _, s := range x.steps {
		n := int(s.n)
		switch {
		case s.form == formReady:
			x.out = append(x.out, ready[:n]...)
			ready = ready[n:]
		case s.form == formPing:
			if why := x.refusing(); why != "" {
				x.blame(x.door.numbered[s.command], why)
				x.out = x.appendError(x.out, why)
			} else {
				x.out = append(x.out, ready[:n]...)
			}
			ready = ready[n:]
		case s.form == formLater:
			x.runLater(n)
		case s.form >= formValues:
			x.out, known = x.appendReply(x.out, s, ops[:n])
			ops = ops[n:]
		default:
			for i := 0; i < n && known; i++ {
				op := &ops[i]
				switch {
				case op.Err == nil && s.form == formInteger:
					x.out = resp.AppendInt(x.out, int64(op.Sum)) // fits: Max was 2^63−1
				case op.Err == nil && s.form == formDecimal:
					x.out = resp.AppendDecimal(x.out, op.Sum)
				default:
					x.out, known = x.appendReply(x.out, s, ops[i:i+1])
				}
			}
			ops = ops[n:]
		}
		if !known { // to answer what follows would be to answer out of order
			x.closing, x.more = true, false
			break
		}
	}
	if x.door.gate.Options.Audit != nil {
		x.door.gate.Changed(&x.client.who, x.client.peer, gate.DoorRESP, x.ops, x.group.Index)
	}
	if x.group.Whole {
		if !known {
			x.out = x.out[:from] // no part of an answer
		} else {
			x.countTransaction()
		}
		x.endTransaction()
	}
	if x.ops = x.ops[:0]; cap(x.ops) > 2*gate.MaxTurnOps {
		x.ops = nil
	}
	x.steps, x.ready, x.size = x.steps[:0], x.ready[:0], 0
}

// appendReply appends the reply to operations with outcomes. It returns false if an outcome is not
// known: then there is none.
func (x *exchange) appendReply(dst []byte, s step, ops []core.Op) (b []byte, known bool) {
	for i := range ops {
		op := &ops[i]
		if op.Err == nil {
			continue
		}
		code, known := gate.CodeOf(op.Err)
		if !known {
			x.door.gate.Happened(gate.UnknownOutcome, x.client.peer, op.Err)
			return dst, false
		}
		x.door.gate.Refused(code, x.client.peer, op.Topic)
		x.blame(x.door.numbered[s.command], code.RedisError())
		return x.appendError(dst, code.RedisError()), true
	}
	op := &ops[0]
	switch s.form {
	case formInteger:
		return resp.AppendInt(dst, int64(op.Sum)), true
	case formDecimal:
		return resp.AppendDecimal(dst, op.Sum), true
	case formValue:
		return x.appendValue(dst, op.Sum), true
	case formOK:
		return resp.AppendSimple(dst, "OK"), true
	case formType:
		if op.Sum > 0 {
			return resp.AppendSimple(dst, "string"), true
		}
		return resp.AppendSimple(dst, "none"), true
	case formExpiry:
		if op.Sum > 0 {
			return resp.AppendInt(dst, -1), true
		}
		return resp.AppendInt(dst, -2), true
	case formLength:
		return resp.AppendInt(dst, digits(op.Sum)), true
	case formInfo:
		dst = x.client.version.AppendMap(dst, 2)
		dst = resp.AppendDecimal(resp.AppendBulk(dst, "sum"), op.Sum)
		return resp.AppendInt(resp.AppendBulk(dst, "epoch"), int64(op.Epoch)), true // at most 2^63−1
	case formValues:
		dst = resp.AppendArray(dst, len(ops))
		for i := range ops {
			dst = x.appendValue(dst, ops[i].Sum)
		}
		return dst, true
	default: // formLive
		n := int64(0)
		for i := range ops {
			if ops[i].Sum > 0 {
				n++
			}
		}
		return resp.AppendInt(dst, n), true
	}
}

func (x *exchange) appendValue(dst []byte, sum uint64) []byte {
	if sum == 0 {
		return x.client.version.AppendNull(dst)
	}
	return resp.AppendDecimal(dst, sum)
}

// digits is the number of decimal digits of a sum; a topic whose sum is 0 is not there and has
// none.
func digits(sum uint64) int64 {
	n := int64(0)
	for ; sum > 0; sum /= 10 {
		n++
	}
	return n
}

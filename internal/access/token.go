package access

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

const (
	tokenPrefix = "gcd_" // by which people, and programs that look for secrets, know it
	tokenBits   = 256    // random ones
	tokenLength = len(tokenPrefix) + 43

	// What a hash in the file begins with, and how many hexadecimal digits follow.
	hashPrefix = "sha256:"
	hashDigits = 2 * sha256.Size
)

// NewToken makes a token, and the secret that the file has in its place, a hash. A fast hash is
// enough, for nobody can try 2^256 tokens.
func NewToken() (token, secret string) {
	var random [tokenBits / 8]byte
	_, _ = rand.Read(random[:]) // it never fails
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(random[:])
	return token, tokenHash(sha256.Sum256([]byte(token))).String()
}

// isToken says whether bytes have the form of a token. Nothing else is ever looked up: what people
// choose themselves can be found out from a fast hash.
func isToken(text []byte) bool {
	if len(text) != tokenLength || !bytes.HasPrefix(text, []byte(tokenPrefix)) {
		return false
	}
	for _, c := range text[len(tokenPrefix):] {
		if !isAlphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// WithoutToken is the beginning of what a client has sent, up to where a token begins, or a part of
// one: a log shows no more than that.
func WithoutToken(text []byte) []byte {
	if at := bytes.Index(text, []byte(tokenPrefix)); at >= 0 {
		return text[:at]
	}
	return text
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// A tokenHash is what the rules have of a token.
type tokenHash [sha256.Size]byte

// parseHash reads a hash as the file has it.
func parseHash(text string) (hash tokenHash, ok bool) {
	digits, ok := strings.CutPrefix(text, hashPrefix)
	if !ok || len(digits) != hashDigits {
		return hash, false
	}
	_, err := hex.Decode(hash[:], []byte(digits))
	return hash, err == nil
}

// String is the hash as the file has it.
func (h tokenHash) String() string { return hashPrefix + hex.EncodeToString(h[:]) }

// start is what a hash is looked up by.
func (h tokenHash) start() hashStart { return hashStart(h[:]) }

// A hashStart is the first bytes of a hash. The rest of it is compared in constant time, so how
// long a look-up takes says nothing of it.
type hashStart [8]byte

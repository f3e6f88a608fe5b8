package site

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238's default
	"encoding/binary"
	"fmt"
	"time"
)

const codeStep = 30 * time.Second

// oneTimeCode is the code of six digits of RFC 6238.
func oneTimeCode(secret []byte, at time.Time) string {
	mac := hmac.New(sha1.New, secret)
	_ = binary.Write(mac, binary.BigEndian, uint64(at.Unix())/uint64(codeStep/time.Second)) //nolint:gosec // after 1970
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[offset:])&0x7fffffff%1_000_000)
}

// rightCode accepts the codes of now, and of a step before and after.
func (s *Site) rightCode(code string) bool {
	for _, shift := range []time.Duration{0, -codeStep, codeStep} {
		if hmac.Equal([]byte(code), []byte(oneTimeCode(s.secret, time.Now().Add(shift)))) {
			return true
		}
	}
	return false
}

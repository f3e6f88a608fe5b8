package stdwebhook

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The example that the libraries of the specification test themselves with.
const (
	exampleSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	exampleID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	exampleTime      = 1614265330
	exampleBody      = `{"test": 2432232314}`
	exampleSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func headers(id string, at int64, signature string) http.Header {
	h := make(http.Header)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", strconv.FormatInt(at, 10))
	h.Set("webhook-signature", signature)
	return h
}

func TestTheExampleOfTheSpecification(t *testing.T) {
	got, err := Sign(exampleID, time.Unix(exampleTime, 0), []byte(exampleBody), exampleSecret)
	if err != nil || got != exampleSignature {
		t.Errorf("signature = %s, %v; want %s", got, err, exampleSignature)
	}
	id, err := Verify(headers(exampleID, exampleTime, exampleSignature), []byte(exampleBody), time.Unix(exampleTime, 0), exampleSecret)
	if err != nil || id != exampleID {
		t.Errorf("id = %s, %v", id, err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	const secret, other = exampleSecret, "whsec_b3RoZXIgc2VjcmV0IG9mIHRoZSBob3N0IQ=="
	now := time.Unix(exampleTime, 0)
	good := exampleSignature
	for name, tc := range map[string]struct {
		id, signature, body string
		at                  int64
		secrets             []string
		want                error
	}{
		"another body":       {exampleID, good, exampleBody + " ", exampleTime, []string{secret}, ErrSignature},
		"another id":         {"msg_other", good, exampleBody, exampleTime, []string{secret}, ErrSignature},
		"another time":       {exampleID, good, exampleBody, exampleTime + 1, []string{secret}, ErrSignature},
		"another secret":     {exampleID, good, exampleBody, exampleTime, []string{other}, ErrSignature},
		"no secret":          {exampleID, good, exampleBody, exampleTime, nil, ErrSignature},
		"no signature":       {exampleID, "", exampleBody, exampleTime, []string{secret}, ErrSignature},
		"no id":              {"", good, exampleBody, exampleTime, []string{secret}, ErrSignature},
		"another version":    {exampleID, strings.Replace(good, "v1,", "v1a,", 1), exampleBody, exampleTime, []string{secret}, ErrSignature},
		"no version":         {exampleID, strings.TrimPrefix(good, "v1,"), exampleBody, exampleTime, []string{secret}, ErrSignature},
		"a part of it":       {exampleID, good[:len(good)-8], exampleBody, exampleTime, []string{secret}, ErrSignature},
		"a secret too short": {exampleID, good, exampleBody, exampleTime, []string{"whsec_c2hvcnQ="}, ErrSecret},
		"a bare secret":      {exampleID, good, exampleBody, exampleTime, []string{strings.TrimPrefix(secret, "whsec_")}, ErrSecret},
	} {
		if _, err := Verify(headers(tc.id, tc.at, tc.signature), []byte(tc.body), now, tc.secrets...); !errors.Is(err, tc.want) {
			t.Errorf("%s: err = %v, want %v", name, err, tc.want)
		}
	}
	for _, stamp := range []string{"", "soon", "1614265330.5", "99999999999999999999"} {
		h := headers(exampleID, exampleTime, good)
		h.Set("webhook-timestamp", stamp)
		if _, err := Verify(h, []byte(exampleBody), now, secret); !errors.Is(err, ErrSignature) {
			t.Errorf("timestamp %q: err = %v", stamp, err)
		}
	}
}

func TestTheReplayWindow(t *testing.T) {
	for offset, want := range map[time.Duration]error{
		-5*time.Minute - time.Second: ErrTimestamp, -5 * time.Minute: nil, 5 * time.Minute: nil, 5*time.Minute + time.Second: ErrTimestamp,
	} {
		_, err := Verify(headers(exampleID, exampleTime, exampleSignature), []byte(exampleBody), time.Unix(exampleTime, 0).Add(offset), exampleSecret)
		if !errors.Is(err, want) {
			t.Errorf("%s after it was signed: err = %v, want %v", offset, err, want)
		}
	}
}

// During a rotation a message has two signatures, and a receiver may hold either
// secret or both.
func TestRotation(t *testing.T) {
	before, after, at := NewSecret(), NewSecret(), time.Unix(exampleTime, 0)
	if before == after {
		t.Fatal("two secrets are equal")
	}
	both, err := Sign("msg_1", at, []byte("body"), after, before)
	if err != nil || len(strings.Fields(both)) != 2 {
		t.Fatalf("signature = %q, %v", both, err)
	}
	for name, held := range map[string][]string{"before": {before}, "after": {after}, "both": {before, after}} {
		if id, err := Verify(headers("msg_1", exampleTime, both), []byte("body"), at, held...); err != nil || id != "msg_1" {
			t.Errorf("with the secret of %s: %q, %v", name, id, err)
		}
	}
	if _, err := Sign("msg_1", at, nil, "whsec_!"); !errors.Is(err, ErrSecret) || strings.Contains(err.Error(), "!") {
		t.Errorf("err = %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(exampleID, "1614265330", exampleSignature, exampleBody, exampleSecret)
	f.Add("", "-1", "v1, v1,== ,", "", "whsec_")
	f.Fuzz(func(t *testing.T, id, stamp, signature, body, secret string) {
		h := http.Header{HeaderID: {id}, HeaderTimestamp: {stamp}, HeaderSignature: {signature}}
		got, err := Verify(h, []byte(body), time.Unix(exampleTime, 0), secret)
		if err != nil {
			return
		}
		seconds, _ := strconv.ParseInt(stamp, 10, 64)
		want, err := Sign(id, time.Unix(seconds, 0), []byte(body), secret)
		if stamp == strconv.FormatInt(seconds, 10) && (err != nil || got != id || !strings.Contains(signature, want)) {
			t.Errorf("%q was accepted, and the signature is %q, %v", signature, want, err)
		}
	})
}

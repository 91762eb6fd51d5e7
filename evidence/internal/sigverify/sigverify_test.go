package sigverify

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"math/big"
	mathrand "math/rand/v2"
	"testing"

	"filippo.io/nistec"
)

type way struct {
	name   string
	verify func(k *P384, digest, signature []byte) bool
}

// ways are the three ways to check a signature; they must agree on everything.
func ways() []way {
	return []way{
		{"standard", func(k *P384, d, s []byte) bool { return k.verifyStandard(d, s) }},
		{"circl", func(k *P384, d, s []byte) bool {
			var u1, u2 [P384Size]byte
			r, ok := scalars(d, s, order, u1[:], u2[:])
			return ok && k.verifyCIRCL(u1[:], u2[:], r)
		}},
		{"comb", func(k *P384, d, s []byte) bool {
			var u1, u2 [P384Size]byte
			r, ok := scalars(d, s, order, u1[:], u2[:])
			return ok && newComb(k.point, P384Size, nistec.NewP384Point).verify(generatorP384(), u1[:],
				u2[:], r, order)
		}},
	}
}

func signed(t testing.TB, key *ecdsa.PrivateKey, digest []byte) []byte {
	t.Helper()
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 2*P384Size)
	r.FillBytes(signature[:P384Size])
	s.FillBytes(signature[P384Size:])
	return signature
}

func newKey(t testing.TB) (*ecdsa.PrivateKey, *P384) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewP384(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return key, k
}

func TestAllWaysAgree(t *testing.T) {
	key, k := newKey(t)
	digest := sha512.Sum384([]byte("message"))
	good := signed(t, key, digest[:])
	scalar := func(edit func(r, s *big.Int)) []byte {
		r, s := new(big.Int).SetBytes(good[:P384Size]), new(big.Int).SetBytes(good[P384Size:])
		edit(r, s)
		b := make([]byte, 2*P384Size)
		r.FillBytes(b[:P384Size])
		s.FillBytes(b[P384Size:])
		return b
	}
	long := sha512.Sum512([]byte("message"))
	for name, tc := range map[string]struct {
		digest, signature []byte
		want              bool
	}{
		"good":                {digest[:], good, true},
		"good, longer digest": {long[:], signed(t, key, long[:]), true},
		"good, s negated":     {digest[:], scalar(func(_, s *big.Int) { s.Sub(order, s) }), true},
		"another digest":      {long[:48], good, false},
		"r zero":              {digest[:], scalar(func(r, _ *big.Int) { r.SetInt64(0) }), false},
		"s zero":              {digest[:], scalar(func(_, s *big.Int) { s.SetInt64(0) }), false},
		"both zero":           {digest[:], make([]byte, 96), false},
		"r is the order":      {digest[:], scalar(func(r, _ *big.Int) { r.Set(order) }), false},
		"s is the order":      {digest[:], scalar(func(_, s *big.Int) { s.Set(order) }), false},
		"s is the order and one": {digest[:], scalar(func(_, s *big.Int) {
			s.Add(order, big.NewInt(1))
		}), false},
		"r one":                      {digest[:], scalar(func(r, _ *big.Int) { r.SetInt64(1) }), false},
		"all ones":                   {digest[:], bytes.Repeat([]byte{0xff}, 96), false},
		"r and s exchanged":          {digest[:], append(append([]byte(nil), good[48:]...), good[:48]...), false},
		"too short":                  {digest[:], good[:95], false},
		"too long":                   {digest[:], append(append([]byte(nil), good...), 0), false},
		"digest zero, r and s equal": {make([]byte, 48), scalar(func(r, s *big.Int) { s.Set(r) }), false},
	} {
		for _, w := range ways() {
			if got := w.verify(k, tc.digest, tc.signature); got != tc.want {
				t.Errorf("%s: %s says %v", name, w.name, got)
			}
		}
	}
}

// TestExceptionalPoints has keys for which the sum meets the special cases of
// incomplete addition formulas: Q is a small multiple of G, or its negative.
func TestExceptionalPoints(t *testing.T) {
	digest := sha512.Sum384([]byte("m"))
	for _, d := range []int64{1, 2, 3, -1, -2, -3} {
		scalar := new(big.Int).Mod(big.NewInt(d), order)
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), scalar.FillBytes(make([]byte, 48)))
		if err != nil {
			t.Fatal(err)
		}
		k, err := NewP384(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		for _, sig := range [][]byte{signed(t, key, digest[:]), bytes.Repeat([]byte{1}, 96)} {
			want := k.verifyStandard(digest[:], sig)
			for _, w := range ways() {
				if got := w.verify(k, digest[:], sig); got != want {
					t.Errorf("key %d: %s says %v, the standard library %v", d, w.name, got, want)
				}
			}
		}
		// u1·G + u2·Q is infinity for e = -r·d: nothing may take it.
		r := big.NewInt(12345)
		e := new(big.Int).Mod(new(big.Int).Neg(new(big.Int).Mul(r, scalar)), order)
		sig := append(r.FillBytes(make([]byte, 48)), big.NewInt(7).FillBytes(make([]byte, 48))...)
		for _, w := range ways() {
			if w.verify(k, e.FillBytes(make([]byte, 48)), sig) {
				t.Errorf("key %d: %s takes the point at infinity", d, w.name)
			}
		}
	}
}

func TestATableChangesNoVerdict(t *testing.T) {
	key, k := newKey(t)
	for i := range 2 * tableAfter {
		digest := sha512.Sum384([]byte{byte(i)})
		good := signed(t, key, digest[:])
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if !k.Verify(digest[:], good) || k.Verify(digest[:], bad) {
			t.Errorf("use %d: wrong verdict", i)
		}
	}
	if k.table.Load() == nil {
		t.Error("no table was made")
	}
}

func TestNewP384Refuses(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, pub := range map[string]*ecdsa.PublicKey{
		"nothing": nil, "another curve": &other.PublicKey,
		"a point off the curve": {Curve: elliptic.P384(), X: big.NewInt(1), Y: big.NewInt(1)},
		"the point at infinity": {Curve: elliptic.P384(), X: new(big.Int), Y: new(big.Int)},
	} {
		if _, err := NewP384(pub); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzP384(f *testing.F) {
	key, k := newKey(f)
	digest := sha512.Sum384([]byte("seed"))
	f.Add(digest[:], signed(f, key, digest[:]))
	f.Fuzz(func(t *testing.T, digest, signature []byte) {
		if len(digest) == 0 {
			return
		}
		want := k.verifyStandard(digest, signature)
		for _, w := range ways() {
			if w.verify(k, digest, signature) != want {
				t.Errorf("%s differs from the standard library: %v", w.name, want)
			}
		}
	})
}

func TestPSSAgreesWithTheStandardLibrary(t *testing.T) {
	for _, bits := range []int{2048, 2049, 2055, 3072, 4096} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		k, err := NewPSS384(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		digest := sha512.Sum384([]byte("message"))
		sign := func(salt int) []byte {
			s, err := rsa.SignPSS(rand.Reader, key, crypto.SHA384, digest[:], &rsa.PSSOptions{SaltLength: salt})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		good := sign(48)
		pkcs, err := rsa.SignPKCS1v15(nil, key, crypto.SHA384, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		above := new(big.Int).Add(new(big.Int).SetBytes(good), key.N)
		cases := map[string][]byte{
			"good": good, "shorter salt": sign(32), "no salt": sign(0), "longer salt": sign(64),
			"PKCS 1.5": pkcs,
			"cut":      good[1:], "zero": make([]byte, len(good)),
			"padded": append([]byte{0}, good...),
		}
		if above.BitLen() <= 8*len(good) {
			cases["not reduced"] = above.FillBytes(make([]byte, len(good)))
		}
		random := mathrand.New(mathrand.NewPCG(1, uint64(bits)))
		for range 20 {
			flipped := bytes.Clone(good)
			flipped[random.IntN(len(flipped))] ^= 1 << random.IntN(8)
			cases["flipped "+new(big.Int).SetBytes(flipped).Text(62)] = flipped
		}
		for name, s := range cases {
			want := rsa.VerifyPSS(&key.PublicKey, crypto.SHA384, digest[:], s, &rsa.PSSOptions{SaltLength: 48}) == nil
			if got := k.Verify(digest[:], s); got != want || want != (name == "good") {
				t.Errorf("%d bits, %.20s: got %v, the standard library says %v", bits, name, got, want)
			}
		}
		if k.Verify(digest[:47], good) || !k.VerifyMessage([]byte("message"), good) ||
			k.VerifyMessage([]byte("messag"), good) {
			t.Errorf("%d bits: the digest has no effect", bits)
		}
	}
}

// TestPSSEncodings sets single parts of the encoded message wrong: a holder of
// the key could sign such a thing, and the standard library refuses it.
func TestPSSEncodings(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewPSS384(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha512.Sum384([]byte("message"))
	good, err := rsa.SignPSS(rand.Reader, key, crypto.SHA384, digest[:], &rsa.PSSOptions{SaltLength: 48})
	if err != nil {
		t.Fatal(err)
	}
	em := new(big.Int).Exp(new(big.Int).SetBytes(good), big.NewInt(int64(key.E)),
		key.N).FillBytes(make([]byte, 256))
	for at := range em {
		for _, bit := range []byte{1, 0x40, 0x80} {
			bad := bytes.Clone(em)
			bad[at] ^= bit
			n := new(big.Int).SetBytes(bad)
			if n.Cmp(key.N) >= 0 {
				continue
			}
			signature := n.Exp(n, key.D, key.N).FillBytes(make([]byte, 256))
			want := rsa.VerifyPSS(&key.PublicKey, crypto.SHA384, digest[:], signature,
				&rsa.PSSOptions{SaltLength: 48}) == nil
			if got := k.Verify(digest[:], signature); got || want {
				t.Errorf("byte %d, bit %x: got %v, the standard library says %v", at, bit, got, want)
			}
		}
	}
}

func TestNewPSS384Refuses(t *testing.T) {
	n := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 2048), big.NewInt(1))
	for name, pub := range map[string]*rsa.PublicKey{
		"nothing": nil, "no modulus": {E: 65537}, "1024 bits": {N: new(big.Int).Rsh(n, 1024), E: 65537},
		"16384 bits": {N: new(big.Int).Lsh(n, 14336), E: 65537}, "exponent 1": {N: n, E: 1},
		"even exponent": {N: n, E: 65536},
		"even modulus":  {N: new(big.Int).Sub(n, big.NewInt(1)), E: 65537},
	} {
		if _, err := NewPSS384(pub); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func BenchmarkP384(b *testing.B) {
	key, k := newKey(b)
	digest := sha512.Sum384([]byte("message"))
	good := signed(b, key, digest[:])
	b.Run("standard", func(b *testing.B) {
		for b.Loop() {
			k.verifyStandard(digest[:], good)
		}
	})
	b.Run("circl", func(b *testing.B) {
		for b.Loop() {
			var u1, u2 [P384Size]byte
			r, _ := scalars(digest[:], good, order, u1[:], u2[:])
			k.verifyCIRCL(u1[:], u2[:], r)
		}
	})
	b.Run("comb", func(b *testing.B) {
		table := newComb(k.point, P384Size, nistec.NewP384Point)
		for b.Loop() {
			var u1, u2 [P384Size]byte
			r, _ := scalars(digest[:], good, order, u1[:], u2[:])
			table.verify(generatorP384(), u1[:], u2[:], r, order)
		}
	})
	b.Run("making a table", func(b *testing.B) {
		for b.Loop() {
			newComb(k.point, P384Size, nistec.NewP384Point)
		}
	})
}

// TestP256AgreesWithTheStandardLibrary has the cases of P-384 on the smaller
// curve.
func TestP256AgreesWithTheStandardLibrary(t *testing.T) {
	n := elliptic.P256().Params().N
	for _, d := range []*big.Int{nil, big.NewInt(1), big.NewInt(2), new(big.Int).Sub(n,
		big.NewInt(1)), new(big.Int).Sub(n, big.NewInt(2))} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if d != nil {
			key, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), d.FillBytes(make([]byte, 32)))
		}
		if err != nil {
			t.Fatal(err)
		}
		k, err := NewP256(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		random := mathrand.New(mathrand.NewPCG(1, 2))
		for i := range 40 {
			digest := sha512.Sum512_256([]byte{byte(i)})
			der, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			if !k.VerifyASN1(digest[:], der) {
				t.Errorf("signature %d is refused", i)
			}
			raw, ok := rawSignature(der, P256Size)
			if !ok || !k.Verify(digest[:], raw) {
				t.Errorf("signature %d is refused raw", i)
			}
			der[random.IntN(len(der))] ^= 1 << random.IntN(8)
			got, want := k.VerifyASN1(digest[:], der), ecdsa.VerifyASN1(&key.PublicKey, digest[:], der)
			if got != want {
				t.Errorf("altered signature %d: got %v, the standard library says %v", i, got, want)
			}
		}
		for _, bad := range [][]byte{
			nil, make([]byte, 64), bytes.Repeat([]byte{0xff}, 64),
			append(n.FillBytes(make([]byte, 32)), bytes.Repeat([]byte{1}, 32)...),
			bytes.Repeat([]byte{1}, 63),
		} {
			if k.Verify(make([]byte, 32), bad) {
				t.Errorf("%x is accepted", bad)
			}
		}
	}
	p384, _ := newKey(t)
	if _, err := NewP256(&p384.PublicKey); err == nil {
		t.Error("a key on P-384 is taken")
	}
}

func FuzzP256(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	k, err := NewP256(&key.PublicKey)
	if err != nil {
		f.Fatal(err)
	}
	digest := sha512.Sum512_256([]byte("seed"))
	der, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(digest[:], der)
	f.Fuzz(func(t *testing.T, digest, der []byte) {
		if len(digest) == 0 {
			return
		}
		if got, want := k.VerifyASN1(digest, der), ecdsa.VerifyASN1(&key.PublicKey, digest, der); got != want {
			t.Errorf("got %v, the standard library says %v", got, want)
		}
	})
}

func BenchmarkP256(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	k, err := NewP256(&key.PublicKey)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha512.Sum512_256([]byte("message"))
	der, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	b.Run("standard", func(b *testing.B) {
		for b.Loop() {
			ecdsa.VerifyASN1(&key.PublicKey, digest[:], der)
		}
	})
	b.Run("comb", func(b *testing.B) {
		for b.Loop() {
			k.VerifyASN1(digest[:], der)
		}
	})
}

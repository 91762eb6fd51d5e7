package evidencetest

import (
	"crypto/sha512"
	"encoding/binary"
	"slices"
	"time"
)

// TD describes the attested trust domain.
type TD struct {
	TEETCBSVN, TEETCBSVN2 [16]byte
	MRSignerSEAM          [48]byte
	SEAMAttributes        [8]byte
	Attributes            uint64
	MRTD, MRConfigID      [48]byte
	RTMR                  [4][48]byte
	ReportData            [64]byte
	MRServiceTD           [48]byte
	// V15 makes a TD report 1.5; Extended the one with further fields.
	V15, Extended bool
}

// HealthyTD is a TD on the newest level of [HealthyTDXTCB].
func HealthyTD() *TD {
	return &TD{TEETCBSVN: [16]byte{5, 1, 8}, TEETCBSVN2: [16]byte{5, 1, 8}, Attributes: 1 << 28,
		MRTD: sha512.Sum384([]byte("demo TD")), RTMR: [4][48]byte{sha512.Sum384([]byte("firmware"))}}
}

func (t *TD) bodyType() byte {
	switch {
	case t.Extended:
		return 4
	case t.V15:
		return 3
	default:
		return 2
	}
}

func (t *TD) report() []byte {
	b := slices.Concat(t.TEETCBSVN[:], make([]byte, 48), t.MRSignerSEAM[:], t.SEAMAttributes[:],
		binary.LittleEndian.AppendUint64(nil, t.Attributes), []byte{0xe7, 0x18, 6, 0, 0, 0, 0, 0}, t.MRTD[:],
		t.MRConfigID[:], make([]byte, 96),
		t.RTMR[0][:], t.RTMR[1][:], t.RTMR[2][:], t.RTMR[3][:], t.ReportData[:])
	if t.V15 || t.Extended {
		b = slices.Concat(b, t.TEETCBSVN2[:], t.MRServiceTD[:])
	}
	if t.Extended {
		b = append(b, make([]byte, 885-len(b))...)
	}
	return b
}

// HealthyTDXTCB describes TDX collateral under which [HealthyPlatform] and
// [HealthyTD] are up to date.
func HealthyTDXTCB(now time.Time) TCB {
	t := HealthyTCB(now)
	newest, older := t.Levels[0].Date, t.Levels[1].Date
	t.TEE, t.QEID, t.QE.ProductID = "TDX", "TD_QE", 2
	for i := range t.Levels {
		t.Levels[i].TDX = make([]uint8, 16)
	}
	t.Levels[0].TDX[0], t.Levels[0].TDX[2] = 5, 8
	t.Levels[1].TDX[2] = 6
	t.Modules = []Module{{}, {ID: "TDX_01", Levels: []QELevel{
		{SVN: 5, Date: newest, Status: "UpToDate"},
		{SVN: 2, Date: older, Status: "OutOfDate", Advisories: []string{"INTEL-SA-00004"}},
		{SVN: 1, Date: older, Status: "Revoked"},
	}}}
	return t
}

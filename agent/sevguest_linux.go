package agent

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/probity-dev/probity/evidence"
)

const sevGuest = "/dev/sev-guest"

// snpGetReport is the request SNP_GET_REPORT (uapi/linux/sev-guest.h): _IOWR('S', 0,
// struct snp_guest_request_ioctl).
const snpGetReport = 0xc0205300

const snpReportSize = 1184

// snpRequest is a struct snp_guest_request_ioctl.
type snpRequest struct {
	version   uint8
	_         [7]byte
	request   uint64
	response  uint64
	exitInfo2 uint64
}

// sevReport asks the guest device. It hands out no certificates; the service fetches
// them.
func sevReport(data [64]byte) (*Report, error) {
	f, err := os.OpenFile(sevGuest, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	request, response := make([]byte, 96), make([]byte, 4000) // struct snp_report_req, snp_report_resp
	copy(request, data[:])
	var pin runtime.Pinner // the kernel gets addresses
	defer pin.Unpin()
	pin.Pin(&request[0])
	pin.Pin(&response[0])
	call := snpRequest{
		version:  1,
		request:  uint64(uintptr(unsafe.Pointer(&request[0]))),
		response: uint64(uintptr(unsafe.Pointer(&response[0]))),
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), snpGetReport, uintptr(unsafe.Pointer(&call)))
	if errno != 0 {
		return nil, fmt.Errorf("%s: %w (firmware %#x)", sevGuest, errno, call.exitInfo2)
	}
	status, size := binary.LittleEndian.Uint32(response), binary.LittleEndian.Uint32(response[4:])
	if status != 0 || size < snpReportSize || int(size) > len(response)-32 {
		return nil, fmt.Errorf("%s: status %d, a report of %d bytes", sevGuest, status, size)
	}
	return &Report{Kind: evidence.SEVSNPVM, Raw: response[32 : 32+snpReportSize]}, nil
}

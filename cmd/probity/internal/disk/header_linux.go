package disk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// copied is the header that was checked, in a file in memory that no one can change any more.
//
// Security: the disk itself may answer otherwise when it is read again. The program that opens it
// gets this copy as a detached header, and reads only the data from the disk.
func (o *opened) copied() (*os.File, error) {
	fd, err := unix.MemfdCreate("luks-header", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("copy of the header: %w", err)
	}
	f := os.NewFile(uintptr(fd), "luks-header")
	err = f.Truncate(o.device.HeaderSize())
	if err == nil {
		err = o.device.CopyTo(f, o.file)
	}
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS,
			unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("copy of the header: %w", err), f.Close())
	}
	return f, nil
}

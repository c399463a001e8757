package fakeagent

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// ipcKind is the kind of a message from the listener to its worker. The real channel has the
// same messages (5.3), in other frames. A frame here is kind, length, bytes.
type ipcKind uint32

const (
	ipcJob      ipcKind = 1 // the job message
	ipcJobOnce  ipcKind = 2 // the same, from a listener that exits after it (--once)
	ipcCancel   ipcKind = 3 // the server cancelled the job
	ipcShutdown ipcKind = 4 // the listener shuts down
)

// stopRequest is a request about the running job.
type stopRequest struct {
	kind    ipcKind
	timeout time.Duration // of a cancellation by the server
}

// maxFrame is the maximum size of a frame.
const maxFrame = maxBody

func writeFrame(w io.Writer, kind ipcKind, body []byte) error {
	frame := make([]byte, 0, 8+len(body))
	frame = binary.BigEndian.AppendUint32(frame, uint32(kind))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(body)))
	if _, err := w.Write(append(frame, body...)); err != nil {
		return fmt.Errorf("cannot tell the worker: %w", err)
	}
	return nil
}

func readFrame(r io.Reader) (ipcKind, []byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	kind, size := ipcKind(binary.BigEndian.Uint32(head[:4])), binary.BigEndian.Uint32(head[4:])
	if size > maxFrame {
		return 0, nil, fmt.Errorf("cannot read a frame of %d bytes", size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, err
	}
	return kind, body, nil
}

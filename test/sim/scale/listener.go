package main

import "time"

// The listener's own calls: believed, from agent-protocol.md 7.2 to 7.5, and not
// seen of Microsoft's. Each agent makes them with its own identity, and each job
// with the job's: neither is charged to azptend's.
const (
	longPoll  = 50 * time.Second // then 5 to 15 s of pause
	pauseFrom = 5 * time.Second
	pauseTo   = 15 * time.Second
	keepAlive = 80 * time.Second // the second loop: 30 s after the end of each of its polls
	renewal   = time.Minute
	feedEvery = 10 * time.Second // of a job that writes lines all the time: a guess
	jobSteps  = 5                // of a job: a guess
	stepLogs  = 2                // POST logs, then its content
	stepMarks = 2                // a step's record when it begins and ends
)

// polling is where a listener is in its loop: waiting for a message, or in its
// pause after an empty answer.
type polling struct {
	since time.Duration // its last poll began
	pause time.Duration // that follows it
	polls int
}

// sees says how long after now the listener has a message that is there now.
func (p *polling) sees(now time.Duration, draw func(from, to time.Duration) time.Duration) time.Duration {
	p.advance(now, draw)
	if now < p.since+longPoll {
		return 0
	}
	return p.since + longPoll + p.pause - now
}

// advance lets the loop run until now.
func (p *polling) advance(now time.Duration, draw func(from, to time.Duration) time.Duration) {
	if p.polls == 0 {
		p.polls, p.pause = 1, draw(pauseFrom, pauseTo)
	}
	for now >= p.since+longPoll+p.pause {
		p.since += longPoll + p.pause
		p.polls, p.pause = p.polls+1, draw(pauseFrom, pauseTo)
	}
}

// listenerLife adds what a listener asks in a life: its session, its polls.
func listenerLife(t tally, polls int, online time.Duration) {
	t[postToken]++
	t[postSession]++
	t[endSession]++
	t[getMessages] += polls + int(online/keepAlive)
}

// listenerJob adds what a job makes listener and worker ask.
func listenerJob(t tally, took time.Duration) {
	t[getMessages]++ // the poll that brought it is followed by another
	t[endMessage]++
	t[renewJob] += 1 + int(took/renewal)
	t[reportRecord] += 2 + jobSteps*stepMarks
	t[reportLog] += jobSteps * stepLogs
	t[reportFeed] += 1 + int(took/feedEvery)
	t[reportEnd]++
}

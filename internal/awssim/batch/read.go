package batch

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

type (
	describeInput struct {
		Jobs []string `json:"jobs"`
	}
	describeOutput struct {
		Jobs []jobDetail `json:"jobs"`
	}
	// jobDetail is what DescribeJobs and ListJobs return of a job. ListJobs leaves flags out
	// that are not set; DescribeJobs returns both.
	jobDetail struct {
		JobID         string       `json:"jobId"`
		JobName       string       `json:"jobName"`
		JobArn        string       `json:"jobArn"`
		JobQueue      string       `json:"jobQueue,omitempty"`
		JobDefinition string       `json:"jobDefinition"`
		Status        State        `json:"status"`
		StatusReason  string       `json:"statusReason,omitempty"`
		CreatedAt     int64        `json:"createdAt"`
		StartedAt     int64        `json:"startedAt,omitzero"`
		StoppedAt     int64        `json:"stoppedAt,omitzero"`
		IsCancelled   *bool        `json:"isCancelled,omitempty"`
		IsTerminated  *bool        `json:"isTerminated,omitempty"`
		Share         string       `json:"shareIdentifier,omitempty"`
		Array         *arrayDetail `json:"arrayProperties,omitempty"`
	}
	arrayDetail struct {
		Size    int            `json:"size,omitzero"`
		Index   *int           `json:"index,omitempty"`
		Summary map[string]int `json:"statusSummary,omitempty"`
	}
	submitInput struct {
		JobName         string `json:"jobName"`
		JobQueue        string `json:"jobQueue"`
		JobDefinition   string `json:"jobDefinition"`
		Share           string `json:"shareIdentifier"`
		ArrayProperties struct {
			Size int `json:"size"`
		} `json:"arrayProperties"`
	}
	submitOutput struct {
		JobArn  string `json:"jobArn"`
		JobID   string `json:"jobId"`
		JobName string `json:"jobName"`
	}
)

func describeItems(in *describeInput) []string { return in.Jobs }
func submitItems(in *submitInput) []string     { return []string{in.JobName} }

// describeJobs returns the jobs that are known and leaves out the others. Ids that stand
// twice are returned once, which is not documented.
func (b *Batch) describeJobs(_ context.Context, c *service.Call, in *describeInput) (*describeOutput, error) {
	if in.Jobs == nil || len(in.Jobs) > maxDescribe {
		return nil, refuse("jobs must hold at most %d job ids", maxDescribe)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	out := &describeOutput{Jobs: []jobDetail{}}
	seen := make(map[string]bool, len(in.Jobs))
	for _, id := range in.Jobs {
		j := b.jobs[key{location{c.Account, c.Region}, id}]
		if j == nil || seen[id] {
			continue
		}
		seen[id] = true
		j.advance(now)
		if j = j.shown(now, c.Stale(id)); j == nil {
			continue
		}
		d := j.detail()
		d.IsCancelled, d.IsTerminated = &j.Cancelled, &j.Terminated
		out.Jobs = append(out.Jobs, d.copyFlags())
	}
	return out, nil
}

// copyFlags lets an answer outlive the lock.
func (d jobDetail) copyFlags() jobDetail {
	cancelled, terminated := *d.IsCancelled, *d.IsTerminated
	d.IsCancelled, d.IsTerminated = &cancelled, &terminated
	return d
}

func (j *job) detail() jobDetail {
	d := jobDetail{
		JobID: j.ID, JobName: j.Name, JobArn: j.arn("job/" + j.ID), JobQueue: j.arn("job-queue/" + j.Queue),
		JobDefinition: j.arn("job-definition/" + j.Definition), Status: j.State, StatusReason: j.Reason,
		CreatedAt: j.Created.UnixMilli(), Share: j.Share,
	}
	if !j.Started.IsZero() {
		d.StartedAt = j.Started.UnixMilli()
	}
	if !j.Stopped.IsZero() {
		d.StoppedAt = j.Stopped.UnixMilli()
	}
	if len(j.children) > 0 {
		d.Array = &arrayDetail{Size: len(j.children), Summary: map[string]int{}}
		for _, child := range j.children {
			d.Array.Summary[string(child.State)]++
		}
	}
	if _, index, ok := strings.Cut(j.ID, ":"); ok && j.Parent != "" {
		if n, err := strconv.Atoi(index); err == nil {
			d.Array = &arrayDetail{Index: &n}
		}
	}
	return d
}

// arn is the ARN of a resource of the job's account, unless it is one already.
func (j *job) arn(resource string) string {
	if _, is, ok := strings.Cut(resource, "/arn:"); ok {
		return "arn:" + is
	}
	return "arn:aws:batch:" + j.Region + ":" + j.Account + ":" + resource
}

// submitJob makes a job that waits to be stopped: it goes to RUNNABLE and remains there.
func (b *Batch) submitJob(_ context.Context, c *service.Call, in *submitInput) (*submitOutput, error) {
	if in.JobName == "" || in.JobQueue == "" || in.JobDefinition == "" {
		return nil, refuse("jobName, jobQueue and jobDefinition must not be empty")
	}
	if n := in.ArrayProperties.Size; n != 0 && (n < 2 || n > 10_000) {
		return nil, refuse("arrayProperties.size must be from 2 to 10000")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.disabled[queueKey{location{c.Account, c.Region}, queueName(in.JobQueue)}] {
		return nil, refuse("job queue %s is DISABLED and takes no jobs", in.JobQueue)
	}
	now := time.Now()
	b.names[in.JobName]++
	parent := Job{
		ID: id(b.seed, in.JobName, b.names[in.JobName]), Account: c.Account, Region: c.Region,
		Name: in.JobName, Queue: in.JobQueue, Definition: in.JobDefinition, Share: in.Share, State: Submitted,
		Then: []Change{{After: b.options.Waiting, State: Runnable}},
	}
	b.putLocked(parent, now)
	for i := range in.ArrayProperties.Size {
		child := parent
		child.ID, child.Parent = parent.ID+":"+strconv.Itoa(i), parent.ID
		b.putLocked(child, now)
	}
	j := b.jobs[key{location{c.Account, c.Region}, parent.ID}]
	return &submitOutput{JobArn: j.arn("job/" + j.ID), JobID: j.ID, JobName: j.Name}, nil
}

// id makes a job id: by the name, and the how-manieth of that name it is.
func id(seed uint64, name string, n uint32) string {
	h := md5.New()
	h.Write(binary.BigEndian.AppendUint64(nil, seed))
	h.Write(binary.BigEndian.AppendUint32(nil, n))
	h.Write([]byte(name))
	b := h.Sum(nil)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Jobs returns all jobs of an account and region as they stand, in the order in which they
// were put in.
func (b *Batch) Jobs(account, region string) []Job {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	list := b.lists[location{account, region}]
	out := make([]Job, 0, len(list))
	for _, j := range list {
		j.advance(now)
		copied := j.Job
		copied.Then = slices.Clone(copied.Then)
		out = append(out, copied)
	}
	return out
}

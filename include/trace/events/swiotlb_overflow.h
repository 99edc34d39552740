/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM swiotlb_overflow

#if !defined(_TRACE_SWIOTLB_OVERFLOW_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_SWIOTLB_OVERFLOW_H

#include <linux/device.h>
#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(swiotlb_overflow_buffer,

	TP_PROTO(struct device *dev, phys_addr_t addr, size_t size, size_t memory),

	TP_ARGS(dev, addr, size, memory),

	TP_STRUCT__entry(
		__string(dev_name, dev_name(dev))
		__field(u64, addr)
		__field(size_t, size)
		__field(size_t, memory)
	),

	TP_fast_assign(
		__assign_str(dev_name, dev_name(dev));
		__entry->addr = addr;
		__entry->size = size;
		__entry->memory = memory;
	),

	TP_printk("dev_name=%s addr=%#llx size=%zu memory=%zu",
		  __get_str(dev_name), __entry->addr, __entry->size, __entry->memory)
);

DEFINE_EVENT(swiotlb_overflow_buffer, swiotlb_overflow_alloc,

	TP_PROTO(struct device *dev, phys_addr_t addr, size_t size, size_t memory),

	TP_ARGS(dev, addr, size, memory)
);

DEFINE_EVENT(swiotlb_overflow_buffer, swiotlb_overflow_free,

	TP_PROTO(struct device *dev, phys_addr_t addr, size_t size, size_t memory),

	TP_ARGS(dev, addr, size, memory)
);

TRACE_EVENT(swiotlb_overflow_fail,

	TP_PROTO(struct device *dev, size_t size, const char *reason),

	TP_ARGS(dev, size, reason),

	TP_STRUCT__entry(
		__string(dev_name, dev_name(dev))
		__field(size_t, size)
		__string(reason, reason)
	),

	TP_fast_assign(
		__assign_str(dev_name, dev_name(dev));
		__entry->size = size;
		__assign_str(reason, reason);
	),

	TP_printk("dev_name=%s size=%zu reason=%s",
		  __get_str(dev_name), __entry->size, __get_str(reason))
);

#endif /* _TRACE_SWIOTLB_OVERFLOW_H */

/* This part must be outside protection */
#include <trace/define_trace.h>

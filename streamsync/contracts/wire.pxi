# Avro's primitives over one bounded buffer, and the slots of our records.
#
# Problem: bytes from a topic may say anything, and a decoder in C must not believe them. How: every
# byte is taken through `Reader`, which knows where the value ends; a length or a count is compared
# with what is left before it is used for anything, so nothing is read outside and nothing is
# allocated by what a sender claims. `generate.py` puts this text before the code of the schemas.
#
# Every refusal is a ValueError without a place: `walk.py` and `plain.py` tell the place, in Python.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_FromStringAndSize
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_Check, PyUnicode_DecodeUTF8
from libc.stdint cimport INT32_MAX, INT32_MIN, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef extern from *:
    """
    #include "structmember.h"

    /* Where a slot lies in its object; -1 when `descriptor` is no plain writable slot. */
    static Py_ssize_t slot_offset(PyObject *descriptor) {
        PyMemberDef *member;
        if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) return -1;
        member = ((PyMemberDescrObject *)descriptor)->d_member;
        if (member->type != T_OBJECT_EX || (member->flags & READONLY)) return -1;
        return member->offset;
    }
    /* An object with empty slots: its __init__ would cost more than all decoding. */
    static PyObject *fresh(PyTypeObject *type) { return type->tp_alloc(type, 0); }
    static int is_exactly(PyObject *value, PyTypeObject *type) { return Py_IS_TYPE(value, type); }
    """
    Py_ssize_t slot_offset(object descriptor)
    object fresh(PyTypeObject* kind)
    bint is_exactly(object value, PyTypeObject* kind)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    int64_t PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1
    bint PyLong_Check(object value)
    bint PyBool_Check(object value)

cdef enum:
    HEADER_SIZE = 5  # a zero byte and the schema id, checked by the caller
    LONGEST_VARINT = 10
    ROOM_ON_STACK = 4096

cdef struct Reader:
    const uint8_t* at
    const uint8_t* end

cdef struct Writer:
    uint8_t* start
    uint8_t* at
    uint8_t* end
    uint8_t* heap  # set once the room on the stack was too small

ctypedef object (*take_function)(Reader*)
ctypedef int (*put_function)(Writer*, object) except -1


cdef int refuse() except -1:
    raise ValueError("does not fit its schema")


# --- reading


cdef int64_t take_int64(Reader* r) except? -1:
    cdef uint64_t value = 0
    cdef uint8_t byte
    cdef int shift = 0
    while True:
        if r.at == r.end:
            refuse()
        byte = r.at[0]
        r.at += 1
        # The tenth byte holds the 64th bit and nothing else: no more, and none after it.
        if shift == 63 and byte > 1:
            refuse()
        value |= <uint64_t>(byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    if byte == 0 and shift > 0:
        refuse()  # padded: one number has one spelling
    return <int64_t>((value >> 1) ^ (~(value & 1) + 1))


cdef Py_ssize_t take_size(Reader* r) except -1:
    cdef int64_t size = take_int64(r)
    if size < 0 or size > r.end - r.at:
        refuse()
    return <Py_ssize_t>size


cdef int64_t take_count(Reader* r, const uint8_t** block_end) except -1:
    """Items in the next block, 0 after the last; where it must end, NULL when it does not say."""
    cdef int64_t count = take_int64(r)
    cdef Py_ssize_t size
    block_end[0] = NULL
    if count < 0:
        if count < -<int64_t>(r.end - r.at):
            refuse()  # also the one number that has no positive
        count = -count
        size = take_size(r)
        block_end[0] = r.at + size
    # The generator takes no item that may be empty: each needs a byte at least.
    if count > r.end - r.at:
        refuse()
    return count


cdef inline int leave_block(Reader* r, const uint8_t* block_end) except -1:
    if block_end != NULL and r.at != block_end:
        refuse()
    return 0


cdef inline object take_long(Reader* r):
    return take_int64(r)


cdef inline object take_int(Reader* r):
    cdef int64_t value = take_int64(r)
    if value < INT32_MIN or value > INT32_MAX:
        refuse()
    return value


cdef inline object take_boolean(Reader* r):
    cdef uint8_t byte
    if r.at == r.end:
        refuse()
    byte = r.at[0]
    if byte > 1:
        refuse()
    r.at += 1
    return True if byte else False


cdef inline object take_string(Reader* r):
    cdef Py_ssize_t size = take_size(r)
    cdef object text = PyUnicode_DecodeUTF8(<const char*>r.at, size, NULL)
    r.at += size
    return text


cdef inline object take_bytes(Reader* r):
    cdef Py_ssize_t size = take_size(r)
    cdef object blob = PyBytes_FromStringAndSize(<const char*>r.at, size)
    r.at += size
    return blob


# --- writing


cdef int grow(Writer* w, Py_ssize_t size) except -1:
    cdef Py_ssize_t used = w.at - w.start
    cdef Py_ssize_t capacity = 2 * (w.end - w.start)
    if capacity < used + size:
        capacity = used + size
    cdef uint8_t* larger = <uint8_t*>malloc(capacity)
    if larger == NULL:
        raise MemoryError()
    memcpy(larger, w.start, used)
    free(w.heap)
    w.heap = w.start = larger
    w.at = larger + used
    w.end = larger + capacity
    return 0


cdef inline int reserve(Writer* w, Py_ssize_t size) except -1:
    if w.end - w.at < size:
        grow(w, size)
    return 0


cdef inline int put_int64(Writer* w, int64_t number) except -1:
    cdef uint64_t value = (<uint64_t>number << 1) ^ <uint64_t>(number >> 63)
    reserve(w, LONGEST_VARINT)
    while value > 0x7F:
        w.at[0] = <uint8_t>(value & 0x7F) | 0x80
        w.at += 1
        value >>= 7
    w.at[0] = <uint8_t>value
    w.at += 1
    return 0


cdef inline int64_t whole_number(object value) except? -1:
    cdef int overflow = 0
    cdef int64_t number
    if not PyLong_Check(value) or PyBool_Check(value):
        refuse()
    number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow != 0:
        refuse()
    return number


cdef inline int put_long(Writer* w, object value) except -1:
    return put_int64(w, whole_number(value))


cdef inline int put_int(Writer* w, object value) except -1:
    cdef int64_t number = whole_number(value)
    if number < INT32_MIN or number > INT32_MAX:
        refuse()
    return put_int64(w, number)


cdef inline int put_boolean(Writer* w, object value) except -1:
    if not PyBool_Check(value):
        refuse()
    reserve(w, 1)
    w.at[0] = 1 if value is True else 0
    w.at += 1
    return 0


cdef inline int put_raw(Writer* w, const char* start, Py_ssize_t size) except -1:
    put_int64(w, size)
    reserve(w, size)
    memcpy(w.at, start, size)
    w.at += size
    return 0


cdef inline int put_string(Writer* w, object value) except -1:
    cdef Py_ssize_t size = 0
    cdef const char* start
    if not PyUnicode_Check(value):
        refuse()
    start = PyUnicode_AsUTF8AndSize(value, &size)
    return put_raw(w, start, size)


cdef inline int put_bytes(Writer* w, object value) except -1:
    if not PyBytes_Check(value):
        refuse()
    return put_raw(w, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))


# --- records


cdef inline int fill(object record, Py_ssize_t offset, object value) except -1:
    """Set an empty slot of a new record."""
    Py_INCREF(value)
    (<PyObject**>(<char*><PyObject*>record + offset))[0] = <PyObject*>value
    return 0


cdef inline object slot(object record, Py_ssize_t offset):
    cdef PyObject* value = (<PyObject**>(<char*><PyObject*>record + offset))[0]
    if value == NULL:
        refuse()  # made without __init__
    return <object>value


BOUND = []  # keeps the classes alive whose slots are used


cdef int bind_record(
    object cls, tuple fields, PyTypeObject** kind, Py_ssize_t* slots
) except -1:
    cdef Py_ssize_t index, offset
    if fields != getattr(cls, "__struct_fields__", None):
        raise TypeError(f"{cls.__name__} has other fields than its schema")
    if hasattr(cls, "__post_init__"):
        raise TypeError(f"{cls.__name__} has a __post_init__, which decoding would pass by")
    for index, field in enumerate(fields):
        offset = slot_offset(cls.__dict__[field])
        if offset < 0:
            raise TypeError(f"{cls.__name__}.{field} is no slot: make it a msgspec.Struct")
        slots[index] = offset
    BOUND.append(cls)
    kind[0] = <PyTypeObject*>cls
    return 0


cdef class RecordCodec:
    """Encodes and decodes one kind of record."""

    cdef take_function take
    cdef put_function put
    cdef bytes header

    def encode(self, object record not None):
        """Header and body of a record."""
        cdef uint8_t[ROOM_ON_STACK] room
        cdef Writer w
        w.start = w.at = room
        w.end = w.start + ROOM_ON_STACK
        w.heap = NULL
        try:
            memcpy(w.at, PyBytes_AS_STRING(self.header), HEADER_SIZE)
            w.at += HEADER_SIZE
            self.put(&w, record)
            return PyBytes_FromStringAndSize(<char*>w.start, w.at - w.start)
        finally:
            free(w.heap)

    def decode(self, bytes data not None):
        """The record after the header; ValueError unless it is one, whole, and nothing follows."""
        cdef Reader r
        cdef object record
        if PyBytes_GET_SIZE(data) < HEADER_SIZE:
            refuse()
        r.at = <const uint8_t*>PyBytes_AS_STRING(data) + HEADER_SIZE
        r.end = <const uint8_t*>PyBytes_AS_STRING(data) + PyBytes_GET_SIZE(data)
        record = self.take(&r)
        if r.at != r.end:
            refuse()
        return record


cdef RecordCodec new_codec(bytes header, take_function take, put_function put):
    cdef RecordCodec codec = RecordCodec.__new__(RecordCodec)
    if PyBytes_GET_SIZE(header) != HEADER_SIZE:
        raise ValueError("a header has five bytes")
    codec.header = header
    codec.take = take
    codec.put = put
    return codec

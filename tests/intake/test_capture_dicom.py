"""DICOM's dates and times in all their forms and places, and what an odd element costs."""

import io
from datetime import UTC, datetime

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, MRImageStorage

from edge.intake.capture import dicom_datetime, dicom_moment
from edge.records import CaptureSource as Source
from tests.intake.capturing import NOW, read, zone


@pytest.mark.parametrize(
    ("date", "time", "zone", "moment", "notes"),
    [
        ("19970430", "112936", "-0500", datetime(1997, 4, 30, 11, 29, 36, tzinfo=zone(-5)), ()),
        ("1993.02.24", "17:58:00", "", datetime(1993, 2, 24, 17, 58), ()),
        ("20061219", "110930.671", "", datetime(2006, 12, 19, 11, 9, 30, 671000), ()),
        ("19950501", "162253.7700", "", datetime(1995, 5, 1, 16, 22, 53, 770000), ()),
        ("20200102", "03", "", datetime(2020, 1, 2, 3), ()),
        ("20200102", "0304", "", datetime(2020, 1, 2, 3, 4), ()),
        ("20161231", "235960", "", datetime(2016, 12, 31, 23, 59, 59), ()),
        ("20200102", "", "", datetime(2020, 1, 2), ("capture-time-of-day-missing",)),
        ("202001", "", "", datetime(2020, 1, 1), ("capture-date-truncated", "capture-time-of-day-missing")),
        ("", "112936", "", None, ()),
        ("19010101", "000000", "", None, ()),
        ("20201301", "000000", "", None, ()),
        ("20200102", "250000", "", None, ()),
        ("20990101", "000000", "", None, ()),
    ],
)
def test_dicom_dates_and_times_in_all_their_forms(date, time, zone, moment, notes):
    assert dicom_moment(date, time, zone, NOW) == (moment, notes)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("20120820120804.06", datetime(2012, 8, 20, 12, 8, 4, 60000, tzinfo=zone(1))),
        ("20120820120804.06-0500", datetime(2012, 8, 20, 12, 8, 4, 60000, tzinfo=zone(-5))),
        ("201208201208+0000", datetime(2012, 8, 20, 12, 8, tzinfo=UTC)),
        ("20120820", datetime(2012, 8, 20, tzinfo=zone(1))),
        ("not a time", None),
    ],
)
def test_a_dicom_datetime_has_a_zone_of_its_own(value, moment):
    assert dicom_datetime(value, "+0100", NOW)[0] == moment


def _dicom(syntax=ExplicitVRLittleEndian, **values):
    found = Dataset()
    found.SOPClassUID, found.SOPInstanceUID = MRImageStorage, "1.2.3"
    for name, value in values.items():
        setattr(found, name, value)
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = syntax
    target = io.BytesIO()
    pydicom.dcmwrite(target, found, enforce_file_format=True)
    return target.getvalue()


def test_dicom_times_are_tried_in_their_order():
    values = {
        "StudyDate": "20050101",
        "SeriesDate": "20040101",
        "ContentDate": "20030101",
        "AcquisitionDate": "20020101",
        "AcquisitionDateTime": "20010101101112",
    }
    order = [
        Source.DICOM_ACQUISITION,
        Source.DICOM_ACQUISITION,
        Source.DICOM_CONTENT,
        Source.DICOM_SERIES,
        Source.DICOM_STUDY,
    ]
    for year, source in zip(range(2001, 2006), order, strict=True):
        found = read(_dicom(**values)).capture
        assert (found.moment.year, found.source) == (year, source)
        values.popitem()
    assert read(_dicom()).capture is None


def test_an_anonymised_date_does_not_hide_a_usable_one():
    found = read(_dicom(AcquisitionDate="19010101", StudyDate="20050607", StudyTime="080910")).capture
    assert found.moment == datetime(2005, 6, 7, 8, 9, 10)


def test_enhanced_images_may_keep_the_time_with_their_frames():
    content, frame = Dataset(), Dataset()
    content.FrameAcquisitionDateTime = "20180304050607.5+0100"
    frame.FrameContentSequence = Sequence([content])
    data = _dicom(StudyDate="20000101", NumberOfFrames="2", PerFrameFunctionalGroupsSequence=Sequence([frame, frame]))
    found = read(data).capture
    assert found.moment == datetime(2018, 3, 4, 5, 6, 7, 500000, tzinfo=zone(1))
    assert found.source is Source.DICOM_ACQUISITION


def test_a_deflated_header_isread():
    found = read(_dicom(DeflatedExplicitVRLittleEndian, StudyDate="20050607", Rows=7, Columns=9))
    assert found.capture.moment.date() == datetime(2005, 6, 7).date()
    assert (found.width, found.height, found.notes) == (9, 7, ("capture-time-of-day-missing",))


def test_an_element_of_an_unknown_kind_costs_itself_alone():
    whole = _dicom(StudyDate="20050607", StudyTime="080910", Manufacturer="", ManufacturerModelName="Model")
    damaged = whole.replace(b"\x08\x00\x70\x00LO\x00\x00", b"\x08\x00\x70\x00L\x02\x00\x00")
    assert damaged != whole
    assert read(damaged) == read(whole)
    assert read(whole).capture.moment == datetime(2005, 6, 7, 8, 9, 10)

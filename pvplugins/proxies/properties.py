"""ParaView's XML, written once: properties and proxies as plain function calls.

A proxy class needs nothing but its decorator: the properties are given as XML on the class, and
call the setters that the filter inherits (``Set`` + name). This keeps the order in which they are
listed in all versions of ParaView (decorated methods are sorted by name before 5.13), and makes
forwarding setters unnecessary. All text is escaped here (ParaView's decorators do not).

The label of a property is its name with spaces, because scripts use the name and state files the
label: ``P1Step`` -> ``P1 Step``.
"""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from paraview.util.vtkAlgorithm import smhint, smproperty, smproxy

CATEGORY = "Ensemble"
LIVE = '<LiveSource interval="1000"/>'
"""Let ParaView ask ``GetNeedsUpdate`` of readers and filters, so that plots follow a training."""


def spaced(name):
    """Return a name as words: ``HideConstantAxes`` -> ``Hide Constant Axes``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)


def _attributes(**attributes):
    return "".join(
        f" {key}={quoteattr(_text(value))}"
        for key, value in attributes.items()
        if value is not None
    )


def _text(value):
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (tuple, list)):
        return " ".join(_text(v) for v in value)
    return str(value)


def documentation(text):
    """Return text as a Documentation element, white space squeezed."""
    return f"<Documentation>{escape(' '.join(text.split()))}</Documentation>"


def _vector(kind, name, default, doc, *, domain="", hints="", advanced=False, command=None, **more):
    """Return the XML of a vector property that calls ``Set<name>``."""
    size = len(default) if isinstance(default, (tuple, list)) else 1
    attributes = _attributes(
        name=name,
        label=spaced(name),
        command=command or f"Set{name}",
        number_of_elements=size,
        default_values=default,
        panel_visibility="advanced" if advanced else "default",
        **more,
    )
    hints = f"<Hints>{hints}</Hints>" if hints else ""
    tag = f"{kind}VectorProperty"
    return f"<{tag}{attributes}>{domain}{documentation(doc)}{hints}</{tag}>"


def _range(kind, low, high):
    if low is None and high is None:
        return ""
    return f"<{kind}RangeDomain{_attributes(name='range', min=low, max=high)}/>"


def integer(name, default, doc, *, low=None, high=None, **more):
    """An integer, or several."""
    return _vector("Int", name, default, doc, domain=_range("Int", low, high), **more)


def number(name, default, doc, *, low=None, high=None, **more):
    """A float, or several."""
    return _vector("Double", name, default, doc, domain=_range("Double", low, high), **more)


def checkbox(name, default, doc, **more):
    """A check box; the setter gets 0 or 1."""
    domain = '<BooleanDomain name="bool"/>'
    return _vector("Int", name, bool(default), doc, domain=domain, **more)


def text(name, default, doc, *, lines=False, **more):
    """A text; ``lines`` gives a box for several lines."""
    hints = '<Widget type="multi_line"/>' if lines else ""
    return _vector("String", name, default, doc, hints=hints, **more)


def choice(name, default, entries, doc, **more):
    """One of several named integers.

    Parameters
    ----------
    entries : sequence of str
        Shown texts; the setter gets the position.
    """
    rows = "".join(f"<Entry{_attributes(text=entry, value=i)}/>" for i, entry in enumerate(entries))
    domain = f'<EnumerationDomain name="enum">{rows}</EnumerationDomain>'
    return _vector("Int", name, default, doc, domain=domain, **more)


def name_choice(name, default, getter, doc, **more):
    """One of the texts that the algorithm's ``getter`` returns, or ``default``."""
    info = (
        f'<StringVectorProperty name="{name}Info" command="{getter}" information_only="1" '
        f'si_class="vtkSIStringVectorProperty" number_of_elements="0" repeat_command="1"/>'
    )
    domain = (
        f'<StringListDomain name="list"><RequiredProperties>'
        f'<Property name="{name}Info" function="StringInfo"/>'
        f"</RequiredProperties></StringListDomain>"
    )
    return info + _vector("String", name, default, doc, domain=domain, **more)


def information(name, getter, doc):
    """Texts that scripts can ask for; not shown in the panel."""
    return (
        f'<StringVectorProperty name="{name}" command="{getter}" information_only="1" '
        f'si_class="vtkSIStringVectorProperty" number_of_elements="0" repeat_command="1">'
        f"{documentation(doc)}</StringVectorProperty>"
    )


def array_selection(name, doc):
    """Check boxes of a ``vtkDataArraySelection`` that the algorithm's ``Get<name>`` returns."""
    common = 'number_of_elements_per_command="2" si_class="vtkSIDataArraySelectionProperty"'
    return (
        f'<StringVectorProperty name="{name}Info" command="Get{name}" information_only="1" '
        f"{common}/>"
        f'<StringVectorProperty name="{name}"{_attributes(label=spaced(name))} command="Get{name}" '
        f'information_property="{name}Info" element_types="2 0" repeat_command="1" {common}>'
        f'<ArraySelectionDomain name="array_list"><RequiredProperties>'
        f'<Property function="ArrayList" name="{name}Info"/>'
        f"</RequiredProperties></ArraySelectionDomain>{documentation(doc)}</StringVectorProperty>"
    )


def button(name, doc):
    """A button that calls the algorithm's method ``name``."""
    attributes = _attributes(name=name, label=spaced(name), command=name)
    return f'<Property{attributes} panel_widget="command_button">{documentation(doc)}</Property>'


def file_name(extension, description, doc):
    """The file to read."""
    hints = (
        f"<FileChooser{_attributes(extensions=extension, file_description=description)}/>"
        f"<UseForReading/>"
    )
    domain = '<FileListDomain name="files"/>'
    return (
        f'<StringVectorProperty name="FileName" label="File Name" command="SetFileName" '
        f'number_of_elements="1" animateable="0" panel_visibility="never">{domain}'
        f"{documentation(doc)}<Hints>{hints}</Hints></StringVectorProperty>"
    )


def time_steps():
    """The steps that a reader publishes as time."""
    return (
        '<DoubleVectorProperty name="TimestepValues" repeatable="1" information_only="1">'
        "<TimeStepsInformationHelper/><Documentation>Steps at which data were recorded."
        "</Documentation></DoubleVectorProperty>"
    )


def runs_input(doc="Runs of an ensemble: the first output of Ensemble Reader."):
    """The input of a filter on runs."""
    return (
        '<InputProperty name="Input" command="SetInputConnection" port_index="0">'
        '<ProxyGroupDomain name="groups"><Group name="sources"/><Group name="filters"/>'
        '</ProxyGroupDomain><DataTypeDomain name="input_type"><DataType value="vtkPolyData"/>'
        f"</DataTypeDomain>{documentation(doc)}</InputProperty>"
    )


def tensors_input():
    """The second input of a filter on layers; without it the filter looks at the runs' reader.

    The hint keeps ParaView from asking for it when the filter is chosen in the menu.
    """
    doc = """Tensors of the layers: the second output of Ensemble Reader. Not connected: the tensors
        of the reader that the runs come from."""
    return (
        '<InputProperty name="Tensors" command="SetInputConnection" port_index="1">'
        '<ProxyGroupDomain name="groups"><Group name="sources"/><Group name="filters"/>'
        '</ProxyGroupDomain><DataTypeDomain name="input_type">'
        '<DataType value="vtkMultiBlockDataSet"/></DataTypeDomain>'
        f"{documentation(doc)}<Hints><Optional/></Hints></InputProperty>"
    )


def group(label, *properties):
    """Show properties (their XML) together under a heading."""
    names = re.findall(r"<\w*Property name=\"(\w+)\"", "".join(properties))
    rows = "".join(f'<Property name="{name}"/>' for name in names if not name.endswith("Info"))
    return "".join(properties) + f"<PropertyGroup{_attributes(label=label)}>{rows}</PropertyGroup>"


def output_ports(*names):
    """Name the output ports."""
    return "".join(
        f"<OutputPort{_attributes(name=name, index=i)}/>" for i, name in enumerate(names)
    )


def filter_proxy(doc, *properties, ports=(), hints="", tensors=False):
    """Decorate a class as a filter on runs, in the menu category of the project.

    Parameters
    ----------
    doc : str
        What the filter does; shown in the panel and in the help.
    *properties : str
        XML of the properties in the order of the panel.
    ports : sequence of str
        Names of the output ports, when there are several.
    hints : str
        XML of further hints.
    tensors : bool
        Take the tensors of layers as a second input.
    """

    def decorate(cls):
        inputs = runs_input() + (tensors_input() if tensors else "")
        content = documentation(doc) + inputs + "".join(properties) + output_ports(*ports)
        cls = smproperty.xml(content)(cls)
        cls = smhint.xml(f'<ShowInMenu category="{CATEGORY}"/>{LIVE}{hints}')(cls)
        name = cls.__name__
        return smproxy.filter(name=name, label=spaced(name), support_reload=False)(cls)

    return decorate


def reader_proxy(doc, *properties, extension, description, ports=(), hints=""):
    """Decorate a class as a reader; see ``filter_proxy``."""

    def decorate(cls):
        content = documentation(doc) + "".join(properties) + output_ports(*ports)
        cls = smproperty.xml(content)(cls)
        cls = smhint.xml(LIVE + hints)(cls)
        return smproxy.reader(
            name=cls.__name__,
            label=spaced(cls.__name__),
            extensions=extension,
            file_description=description,
            support_reload=False,
        )(cls)

    return decorate
